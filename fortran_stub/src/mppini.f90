!> Cut the global grid into subdomains.
module mppini
   use par_oce, only: Ni0glo, Nj0glo, jpi, jpj, Ni_0, Nj_0, Nis0, Nie0, Njs0, Nje0, jpni, jpnj, jpnij, nn_hls
   use dom_oce, only: nimpp, njmpp, l_Iperio, l_NFold, mpinei, jpwe, jpea, jpso, jpno
   use lbcnfd, only: nfd_init, jpnfrow
   use in_out_manager, only: lwp, numout
   use lib_mpp, only: mppsize, mpprank, ctl_stop, mpp_gather_setup
   use namread, only: nam_next, nam_check, cnam, cerr, nam_where
   implicit none
   private
   public :: mpp_init

contains

   !> Choose jpni x jpnj and place this rank's subdomain; ranks run along i first.
   !!
   !! Automatic choice: the split whose largest subdomain, halo included, has the fewest cells (the halo is computed too);
   !! of equal ones the split with the longest rows.
   subroutine mpp_init()
      namelist /nammpp/ jpni, jpnj
      integer :: ios, ji, jj

      do while (nam_next('nammpp'))
         read (cnam, nammpp, iostat=ios, iomsg=cerr)
         call nam_check(ios, cerr)
      end do
      call choose()
      jpnij = mppsize

      ji = mod(mpprank, jpni)
      jj = mpprank/jpni
      call cut(Ni0glo, jpni, ji, nimpp, Ni_0)
      call cut(Nj0glo, jpnj, jj, njmpp, Nj_0)
      jpi = Ni_0 + 2*nn_hls
      jpj = Nj_0 + 2*nn_hls
      Nis0 = nn_hls + 1
      Njs0 = nn_hls + 1
      Nie0 = nn_hls + Ni_0
      Nje0 = nn_hls + Nj_0

      mpinei(:) = -1
      if (ji > 0) mpinei(jpwe) = mpprank - 1
      if (ji < jpni - 1) mpinei(jpea) = mpprank + 1
      if (jj > 0) mpinei(jpso) = mpprank - jpni
      if (jj < jpnj - 1) mpinei(jpno) = mpprank + jpni
      if (l_Iperio) then
         if (ji == 0) mpinei(jpwe) = mpprank + jpni - 1
         if (ji == jpni - 1) mpinei(jpea) = mpprank - jpni + 1
      end if
      call nfd_init()
      call mpp_gather_setup([nimpp, njmpp, Ni_0, Nj_0])
      if (lwp) write (numout, '(5(a,i0),a)') ' mpp_init: ', mppsize, ' ranks as ', jpni, ' x ', jpnj, ' on a grid of ', &
      &  Ni0glo, ' x ', Nj0glo, ' cells'
   end subroutine mpp_init

   !> Fill in jpni and jpnj where they are 0, and check them.
   subroutine choose()
      integer :: jn, icost, ibest, imax
      character(len=160) :: cl1, cl2

      if (jpni < 0 .or. jpnj < 0) call ctl_stop('jpni and jpnj must not be negative.', nam_where('nammpp', 'jpni'), &
      &  'Give 0 to let the model choose.')
      if (jpni > 0 .and. jpnj == 0) jpnj = max(mppsize/jpni, 1)
      if (jpnj > 0 .and. jpni == 0) jpni = max(mppsize/jpnj, 1)
      write (cl2, '(5(a,i0))') 'The grid has ', Ni0glo, ' x ', Nj0glo, ' cells and a subdomain needs at least ', nn_hls, &
      &  ' x ', least_rows(), &
      &  ' of them; the largest number of ranks that fits is ', (Ni0glo/nn_hls)*(Nj0glo/least_rows())
      if (jpni > 0) then
         if (jpni*jpnj /= mppsize) then
            write (cl1, '(3(a,i0),a)') 'jpni x jpnj = ', jpni, ' x ', jpnj, ' does not make the ', mppsize, ' ranks of this job.'
            call ctl_stop(cl1, nam_where('nammpp', 'jpni')//', '//nam_where('nammpp', 'jpnj'), &
            &  'Start jpni x jpnj ranks, or set both to 0 to let the model choose.')
         end if
         if (.not. fits(jpni, jpnj)) then
            write (cl1, '(3(a,i0),a)') 'more ranks than fit: ', mppsize, ' as ', jpni, ' x ', jpnj, '.'
            call ctl_stop(cl1, cl2, 'Start fewer ranks, or set jpni = jpnj = 0 to let the model choose.')
         end if
         return
      end if
      ibest = huge(1)
      do jn = 1, mppsize
         if (mod(mppsize, jn) /= 0) cycle
         if (.not. fits(jn, mppsize/jn)) cycle
         icost = ((Ni0glo + jn - 1)/jn + 2*nn_hls)*((Nj0glo + mppsize/jn - 1)/(mppsize/jn) + 2*nn_hls)
         if (icost < ibest) then
            ibest = icost
            jpni = jn
            jpnj = mppsize/jn
         end if
      end do
      if (jpni > 0) return
      do imax = mppsize, 1, -1
         if (any([(mod(imax, jn) == 0 .and. fits(jn, imax/max(jn, 1)), jn=1, imax)])) exit
      end do
      write (cl1, '(2(a,i0),a)') 'more ranks than fit: no jpni x jpnj makes ', mppsize, ' on this grid; ', imax, ' would fit.'
      call ctl_stop(cl1, cl2, 'Start fewer ranks.')
   end subroutine choose

   !> Fewest rows of a subdomain: the halo of its neighbour, or what the fold takes from the northern ones.
   pure integer function least_rows()
      least_rows = merge(jpnfrow, nn_hls, l_NFold)
   end function least_rows

   !> True when every subdomain of the split is at least as wide as the halo of its neighbour.
   pure logical function fits(kni, knj)
      integer, intent(in) :: kni, knj   !< ranks along i and j
      fits = Ni0glo/kni >= nn_hls .and. Nj0glo/knj >= least_rows()
   end function fits

   !> First cell and number of cells of part kn (from 0) of knum; the first parts take the remainder.
   pure subroutine cut(kglo, knum, kn, kfirst, ksize)
      integer, intent(in) :: kglo, knum, kn
      integer, intent(out) :: kfirst, ksize
      ksize = kglo/knum
      kfirst = 1 + kn*ksize + min(kn, mod(kglo, knum))
      if (kn < mod(kglo, knum)) ksize = ksize + 1
   end subroutine cut
end module mppini
