!> A model in 60 lines that couples itself with Halocline: 20 x 12 cells on 2 x 2 subdomains, of which the last is land
!! only and has no rank. It sends a temperature, receives a tendency, and checks it against its own five-point Laplacian.
program example_host
   use mpi
   use cpl_halocline, only : cpl_init, cpl_domain, cpl_var, cpl_define, cpl_snd, cpl_rcv, cpl_finalize, cpl_out, cpl_in
   implicit none
   integer, parameter :: ni = 10, nj = 6, nk = 2, nsteps = 8
   integer :: icomm, irank, isize, ierr, it, im, idt, kt, ji, jj, jk, ioff, joff, nwrong
   real    :: t(ni,nj,nk), dt(ni,nj,nk), want(ni,nj,nk), mask(ni,nj)

   call cpl_init('example_host', icomm)
   call MPI_Comm_rank(icomm, irank, ierr)
   call MPI_Comm_size(icomm, isize, ierr)
   if (isize /= 3) stop 'example_host: start it on 3 ranks'
   ioff = ni * mod(irank, 2)
   joff = nj * (irank / 2)

   call cpl_domain(2*ni, 2*nj, ioff, joff, ni, nj, 'closed')
   call cpl_var(im,  'tmask', '1',     'T', 1,  cpl_out)
   call cpl_var(it,  't',     'K',     'T', nk, cpl_out)
   call cpl_var(idt, 'dt',    'K s-1', 'T', nk, cpl_in)
   call cpl_define(3600., 1, nsteps, 20000101, '360_day')

   mask = 1.
   call cpl_snd(im, 0, mask)
   nwrong = 0
   do kt = 1, nsteps
      do concurrent (jk = 1:nk, jj = 1:nj, ji = 1:ni)
         t(ji,jj,jk)    = temperature(ioff + ji, joff + jj, jk, kt)
         want(ji,jj,jk) = laplacian(ioff + ji, joff + jj, jk, kt)
      end do
      call cpl_snd(it, kt, t)
      call cpl_rcv(idt, kt, dt)
      nwrong = nwrong + count(abs(dt - want) > 1.e-18)
   end do
   call cpl_finalize()
   print '(a,i0,a,i0,a)', 'example_host: rank ', irank, ' received ', nwrong, ' wrong values'
   call MPI_Finalize(ierr)
   if (nwrong > 0) stop 1

contains

   pure real function temperature(kig, kjg, kk, kt)   !< analytic, in global indices
      integer, intent(in) :: kig, kjg, kk, kt
      temperature = 280. + real(mod(7*kig + 3*kjg*kjg + kk + kt, 16))
   end function temperature

   pure real function wet(kig, kjg)                   !< 0 outside the grid and on the missing subdomain
      integer, intent(in) :: kig, kjg
      wet = merge(0., 1., min(kig, kjg) < 1 .or. kig > 2*ni .or. kjg > 2*nj .or. (kig > ni .and. kjg > nj))
   end function wet

   pure real function laplacian(kig, kjg, kk, kt)
      integer, intent(in) :: kig, kjg, kk, kt
      laplacian = 1.e-6 * ( wet(kig+1, kjg) * (temperature(kig+1, kjg, kk, kt) - temperature(kig, kjg, kk, kt)) &
         &                + wet(kig-1, kjg) * (temperature(kig-1, kjg, kk, kt) - temperature(kig, kjg, kk, kt)) &
         &                + wet(kig, kjg+1) * (temperature(kig, kjg+1, kk, kt) - temperature(kig, kjg, kk, kt)) &
         &                + wet(kig, kjg-1) * (temperature(kig, kjg-1, kk, kt) - temperature(kig, kjg, kk, kt)) )
   end function laplacian
end program example_host
