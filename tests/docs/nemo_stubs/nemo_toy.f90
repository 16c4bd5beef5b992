!> A stand-in for NEMO 5.0 with the calls of docs/pages/nemo.md: two ranks along i, halos of two cells, three stages a step,
!! tiles on request. It checks that the right-hand side of each stage holds -1e-6 u, and 1e-7 t, of the state that was sent.
program nemo_toy
   use mpi
   use par_kind, only : wp
   use dom_oce
   use oce
   use in_out_manager
   use hal_nemo
   implicit none
   integer :: ilocal_comm, ierr, irank, isize, istp, jstg, jtile, nijtile, nwrong
   character(len=8) :: clarg

   call get_command_argument(1, clarg)
   nijtile = merge(2, 1, clarg == 'tiles')
   call nemo_init()
   nwrong = 0
   istp = nit000
   do while (istp <= nitend)
      call hal_stop(istp)
      call stp_RK3(istp)
      istp = istp + 1
   end do
   call hal_end()
   print '(a,i0,a,i0,a,i0)', 'nemo_toy: rank ', irank, ' has ', nwrong, ' wrong values, last step ', nitend
   call MPI_Finalize(ierr)

contains

   subroutine nemo_init()
      call hal_init(ilocal_comm)
      call mpp_start(ilocal_comm)
      call mpp_init()
      nit000 = 1 ; nitend = 6 ; nitrst = nitend ; lrst_oce = .false. ; nn_date0 = 20000101 ; nn_leapy = 30
      call hal_define()
   end subroutine nemo_init

   subroutine mpp_start(localComm)
      integer, intent(in) :: localComm
      call MPI_Comm_rank(localComm, irank, ierr)
      call MPI_Comm_size(localComm, isize, ierr)
   end subroutine mpp_start

   subroutine mpp_init()
      nn_hls = 2 ; Ni0glo = 12 ; Nj0glo = 7 ; jpk = 4 ; jpkm1 = 3 ; rn_Dt = 3600._wp
      Ni_0 = Ni0glo / isize ; Nj_0 = Nj0glo
      jpi = Ni_0 + 2*nn_hls ; jpj = Nj_0 + 2*nn_hls
      Nis0 = 1 + nn_hls ; Nie0 = jpi - nn_hls ; Njs0 = 1 + nn_hls ; Nje0 = jpj - nn_hls
      nimpp = 1 + irank * Ni_0 ; njmpp = 1
      ntsi = Nis0 ; ntei = Nie0 ; ntsj = Njs0 ; ntej = Nje0
      l_Iperio = .true. ; l_Jperio = .false. ; l_NFold = .false. ; c_NFtype = '-'
      Nbb = 1 ; Nnn = 2 ; Naa = 3 ; Nrhs = Naa
      allocate(uu(jpi,jpj,jpk,jpt), vv(jpi,jpj,jpk,jpt), ts(jpi,jpj,jpk,jpts,jpt), ssh(jpi,jpj,jpt))
      allocate(tmask(jpi,jpj,jpk), umask(jpi,jpj,jpk), vmask(jpi,jpj,jpk), fmask(jpi,jpj,jpk))
      allocate(e1t(jpi,jpj), e2t(jpi,jpj), e1u(jpi,jpj), e2u(jpi,jpj), e1v(jpi,jpj), e2v(jpi,jpj), e1f(jpi,jpj), e2f(jpi,jpj))
      allocate(ff_t(jpi,jpj), ff_f(jpi,jpj), gphit(jpi,jpj))
      e1t = 1.e5_wp ; e2t = e1t ; e1u = e1t ; e2u = e1t ; e1v = e1t ; e2v = e1t ; e1f = e1t ; e2f = e1t
      ff_t = 1.e-4_wp ; ff_f = ff_t ; gphit = 45._wp
      tmask = 1._wp ; umask = 1._wp ; vmask = 1._wp ; fmask = 1._wp
      umask(Nis0 + 1, Njs0 + 1, :) = 0._wp
      vv = 0._wp ; ssh = 0._wp
   end subroutine mpp_init

   subroutine stp_RK3(kstp)
      integer, intent(in) :: kstp
      integer :: ji, jj, jk
      lrst_oce = kstp == nitrst                        ! as rst_opn, which day calls
      do concurrent (jk = 1:jpk, jj = 1:jpj, ji = 1:jpi)
         uu(ji,jj,jk,Nbb) = real(ji + nimpp + 20*jj + jk + kstp, wp) * umask(ji,jj,jk)
         ts(ji,jj,jk,:,Nbb) = real(ji + nimpp + jj + jk + kstp, wp)
      end do
      call hal_snd(kstp, Nbb)
      do jstg = 1, 3
         call stp_RK3_stg(kstp, Nrhs)
      end do
   end subroutine stp_RK3

   subroutine stp_RK3_stg(kstp, Krhs)
      integer, intent(in) :: kstp, Krhs
      uu(:,:,:,Krhs) = 0._wp ; vv(:,:,:,Krhs) = 0._wp ; ts(:,:,:,:,Krhs) = 0._wp
      do jtile = 1, nijtile
         call dom_tile(jtile)
         call hal_dyn(kstp, Krhs)
      end do
      call dom_tile(0)
      call hal_tra(kstp, Krhs)
      call compare(uu(Nis0:Nie0,Njs0:Nje0,1:jpkm1,Krhs), -1.e-6_wp * uu(Nis0:Nie0,Njs0:Nje0,1:jpkm1,Nbb))
      call compare(ts(Nis0:Nie0,Njs0:Nje0,1:jpkm1,1,Krhs), 1.e-7_wp * ts(Nis0:Nie0,Njs0:Nje0,1:jpkm1,1,Nbb))
      nwrong = nwrong + count(abs(vv(:,:,:,Krhs)) > 0._wp) + count(abs(ts(:,:,:,2,Krhs)) > 0._wp)
   end subroutine stp_RK3_stg

   subroutine dom_tile(ktile)
      integer, intent(in) :: ktile   !< 0: the whole subdomain
      ntsj = Njs0 ; ntej = Nje0
      if (nijtile == 2 .and. ktile == 1) ntej = Njs0 + 2
      if (nijtile == 2 .and. ktile == 2) ntsj = Njs0 + 3
   end subroutine dom_tile

   subroutine compare(pgot, pwant)
      real(wp), intent(in) :: pgot(:,:,:), pwant(:,:,:)
      nwrong = nwrong + count(abs(pgot - pwant) > 1.e-15_wp * abs(pwant))
   end subroutine compare
end program nemo_toy
